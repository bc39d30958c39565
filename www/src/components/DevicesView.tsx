import { useRef } from "react";
import { useDevices } from "tutti-sync/react";
import { countDevices } from "../devices";
import { useStatus } from "../sync";
import { DeviceForm } from "./DeviceForm";
import { DeviceList } from "./DeviceList";
import { Icon } from "./Icons";
import { PushSwitch } from "./PushSwitch";
import { SignOutForGood } from "./SignOutForGood";

/** On which key of the address it is. */
export const DEVICES = "devices";

/** Where the account is signed in, and what can be done about it. */
export function DevicesView({ onSignOut }: { onSignOut: () => void }) {
  const { devices } = useDevices();
  const top = useRef<HTMLHeadingElement>(null);
  const connected = useStatus().connection === "online";
  return (
    <section className="page" aria-label="Devices" data-testid="devices">
      <header className="conversation-head">
        <a className="button-icon back" href="#" aria-label="Back to all conversations">
          <Icon name="back" />
        </a>
        <span className="shelf-icon">
          <Icon name="devices" />
        </span>
        <div className="conversation-names">
          <h2 ref={top} tabIndex={-1}>
            Devices
          </h2>
          <p role="status" data-testid="devices-count" data-value={devices?.length}>
            {devices === null ? "Not known without a connection" : countDevices(devices, connected)}
          </p>
        </div>
      </header>
      <div className="devices">
        <DeviceList onGone={() => top.current?.focus()} />
        <PushSwitch />
        <DeviceForm />
        <SignOutForGood onSignOut={onSignOut} />
      </div>
    </section>
  );
}
