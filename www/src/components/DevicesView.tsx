import { useRef } from "react";
import { useDevices } from "../devices";
import { count } from "../text";
import { DeviceForm } from "./DeviceForm";
import { DeviceList } from "./DeviceList";
import { Icon } from "./Icons";
import { PushSwitch } from "./PushSwitch";
import { SignOutForGood } from "./SignOutForGood";

/** On which key of the address it is. */
export const DEVICES = "devices";

/** Where the account is signed in, and what can be done about it. */
export function DevicesView({ onSignOut }: { onSignOut: () => void }) {
  const devices = useDevices();
  const top = useRef<HTMLHeadingElement>(null);
  const online = devices?.filter((device) => device.online).length ?? 0;
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
            {devices === null ? "Not known without a connection" : `${count(devices.length, "device")}, ${online} online`}
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
