import { useId, useRef, useState } from "react";
import { type Answer, registerDevices } from "../registration";
import { useChat } from "../sync";

/** Registers devices before they come for the first time, and says what the server says to that. */
export function DeviceForm() {
  const { client } = useChat();
  const [userId, setUserId] = useState(client.account);
  const [names, setNames] = useState("");
  const [answer, setAnswer] = useState<Answer | null>(null);
  const [sending, setSending] = useState(false);
  const form = useRef<HTMLFormElement>(null);

  const register = async (event: React.FormEvent) => {
    event.preventDefault();
    setSending(true);
    setAnswer(null);
    const devices = names.split("\n").map((name) => name.trim());
    // A line that was left blank names no device.
    const told = await registerDevices(client.account, userId, devices.filter((name) => name !== "")).catch(
      (): Answer => ({ ok: false, field: null, message: "The server cannot be reached. Try again later." }),
    );
    setSending(false);
    setAnswer(told);
    if (told.ok) setNames("");
    else form.current!.querySelector<HTMLElement>(`[name="${told.field}"]`)?.focus();
  };
  const wrong = (field: string) => (answer?.ok === false && answer.field === field ? answer.message : null);
  const elsewhere = answer?.ok === false && answer.field !== "user_id" && answer.field !== "devices";

  return (
    <form className="devices-part device-form" ref={form} onSubmit={(event) => void register(event)} data-testid="device-form">
      <h3>Register devices</h3>
      <p className="hint">An application’s back end can add devices before they are here for the first time.</p>
      <Field label="Account" wrong={wrong("user_id")}>
        {(described) => (
          <input
            {...described}
            name="user_id"
            data-testid="register-account"
            value={userId}
            onChange={(event) => setUserId(event.target.value)}
            autoCapitalize="none"
            autoComplete="off"
            spellCheck={false}
          />
        )}
      </Field>
      <Field label="Devices, one a line" wrong={wrong("devices")}>
        {(described) => (
          <textarea
            {...described}
            name="devices"
            data-testid="register-devices"
            rows={2}
            value={names}
            onChange={(event) => setNames(event.target.value)}
            placeholder={"device_1\ndevice_2"}
            autoCapitalize="none"
            spellCheck={false}
          />
        )}
      </Field>
      <p className="device-form-end">
        <button className="button-primary" data-testid="register" disabled={sending}>
          {sending ? "Registering…" : "Register"}
        </button>
        <span role="status" data-testid="registered">
          {answer?.ok && answer.message}
        </span>
      </p>
      {elsewhere && (
        <p className="field-error" role="alert">
          {answer.message}
        </p>
      )}
    </form>
  );
}

interface FieldProps {
  label: string;
  /** What the server finds wrong with it. */
  wrong: string | null;
  children: (described: { "aria-invalid": boolean; "aria-describedby": string | undefined }) => React.ReactNode;
}

function Field({ label, wrong, children }: FieldProps) {
  const why = useId();
  return (
    <div className="field">
      <label>
        {label}
        {children({ "aria-invalid": wrong !== null, "aria-describedby": wrong === null ? undefined : why })}
      </label>
      {wrong !== null && (
        <p className="field-error" id={why} role="alert" data-testid="field-error">
          {wrong}
        </p>
      )}
    </div>
  );
}
