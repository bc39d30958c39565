import { useEffect, useId, useRef, useState } from "react";
import type { Device, Platform } from "tutti-sync";
import { useDevices } from "tutti-sync/react";
import { describeDevice, isNew } from "../devices";
import { explain } from "../errors";
import { useChat, useStatus } from "../sync";
import { Dialog } from "./Dialog";
import { Icon } from "./Icons";

const ICONS = { web: "browser", desktop: "desktop", mobile: "phone", miniprogram: "mini" } as const satisfies Record<
  Platform,
  string
>;

/** The account's devices, this one first: to be told apart, given names, and removed. */
export function DeviceList({ onGone }: { onGone: () => void }) {
  const { devices } = useDevices();
  const connected = useStatus().connection === "online";
  const [leaving, setLeaving] = useState<Device | null>(null);
  const sorted = [...(devices ?? [])].sort((a, b) => Number(b.current) - Number(a.current));
  return (
    <section className="devices-part" aria-label="Your devices">
      <ul className="device-list">
        {sorted.map((device) => (
          <DeviceItem key={device.id} device={device} connected={connected} onRemove={() => setLeaving(device)} />
        ))}
      </ul>
      {!connected && (
        <p className="hint" data-testid="devices-offline">
          Without a connection devices can be neither renamed nor removed.
        </p>
      )}
      {leaving !== null && (
        <Removal
          device={leaving}
          onEnd={(gone) => {
            setLeaving(null);
            if (gone) onGone();
          }}
        />
      )}
    </section>
  );
}

interface DeviceItemProps {
  device: Device;
  connected: boolean;
  onRemove: () => void;
}

function DeviceItem({ device, connected, onRemove }: DeviceItemProps) {
  const [renaming, setRenaming] = useState(false);
  const rename = useRef<HTMLButtonElement>(null);
  const { id, name, platform, push, current } = device;
  const online = device.online && connected;
  const endRenaming = () => {
    setRenaming(false);
    // Its button is there again in the next frame.
    requestAnimationFrame(() => rename.current?.focus());
  };

  return (
    <li className="device" data-testid="device" data-device={id} data-online={online} data-current={current}>
      <span className="device-icon">
        <Icon name={isNew(device) ? "plus" : ICONS[platform]} />
        <span className="presence-dot" data-value={online ? "online" : "offline"} aria-hidden="true" />
      </span>
      {renaming ? (
        <Renaming device={device} onEnd={endRenaming} />
      ) : (
        <>
          <div className="device-names">
            <h3>
              <span data-testid="device-name">{name}</span>
              {current && <small>this device</small>}
            </h3>
            <p>
              {describeDevice(device, connected)}
              {push && (
                <span data-testid="device-push">
                  {" · "}
                  <Icon name="bell" /> notified
                </span>
              )}
            </p>
          </div>
          <button
            ref={rename}
            className="button-icon"
            data-testid="device-rename"
            aria-label={`Rename ${name}`}
            title="Rename"
            disabled={!connected}
            onClick={() => setRenaming(true)}
          >
            <Icon name="edit" />
          </button>
          {!current && (
            <button
              className="button-icon"
              data-testid="device-remove"
              aria-label={`Remove ${name}`}
              title="Remove"
              disabled={!connected}
              onClick={onRemove}
            >
              <Icon name="discard" />
            </button>
          )}
        </>
      )}
    </li>
  );
}

/** A device's name, to be changed in its place. */
function Renaming({ device: { id, name }, onEnd }: { device: Device; onEnd: () => void }) {
  const chat = useChat();
  const [chosen, setChosen] = useState(name);
  const [wrong, setWrong] = useState<string | null>(null);
  const [saving, setSaving] = useState(false);
  const field = useRef<HTMLInputElement>(null);
  const why = useId();
  useEffect(() => field.current!.select(), []);

  const save = async (event: React.FormEvent) => {
    event.preventDefault();
    if (chosen.trim() === name) return onEnd();
    setSaving(true);
    try {
      await chat.client.renameDevice(id, chosen.trim());
      onEnd();
    } catch (error) {
      setSaving(false);
      setWrong(explain(error).what);
      field.current!.focus();
    }
  };

  return (
    <form
      className="device-renaming"
      onSubmit={(event) => void save(event)}
      onKeyDown={(event) => event.key === "Escape" && onEnd()}
    >
      <input
        ref={field}
        data-testid="device-new-name"
        aria-label={`A name for ${name}`}
        aria-invalid={wrong !== null}
        aria-describedby={wrong === null ? undefined : why}
        value={chosen}
        onChange={(event) => setChosen(event.target.value)}
        autoComplete="off"
        maxLength={128}
        pattern=".*\S.*"
        title="A name that is not blank"
        required
      />
      <button type="button" className="button-quiet" onClick={onEnd}>
        Cancel
      </button>
      <button className="button-primary" data-testid="device-save" disabled={saving}>
        {saving ? "Saving…" : "Save"}
      </button>
      {wrong !== null && (
        <p className="field-error" id={why} role="alert">
          {wrong}
        </p>
      )}
    </form>
  );
}

/** Asks before a device is removed, and says what becomes of it. */
function Removal({ device: { id, name, online }, onEnd }: { device: Device; onEnd: (gone: boolean) => void }) {
  const chat = useChat();
  const [removing, setRemoving] = useState(false);

  const remove = async () => {
    setRemoving(true);
    try {
      await chat.client.removeDevice(id);
      chat.announcement.set(`${name} was removed`);
      onEnd(true);
    } catch (error) {
      chat.report(error);
      onEnd(false);
    }
  };

  return (
    <Dialog title={`Remove “${name}”?`} onCancel={() => onEnd(false)} testId="removal">
      <ul className="consequences">
        <li>{online ? "It is disconnected at once" : "It cannot connect any more"}, and gets no more notifications.</li>
        <li>The copy of the chat on it is erased {online ? "at once" : "as soon as it is online again"}.</li>
        <li>Messages that it has written and not sent yet are lost. All others stay, here and everywhere.</li>
      </ul>
      <p className="hint">Whoever signs in on it again makes it a new device.</p>
      <p className="dialog-buttons">
        <button className="button-quiet" autoFocus onClick={() => onEnd(false)}>
          Keep it
        </button>
        <button className="button-danger" data-testid="removal-confirm" disabled={removing} onClick={() => void remove()}>
          {removing ? "Removing…" : "Remove"}
        </button>
      </p>
    </Dialog>
  );
}
