import { Icon } from "./Icons";

interface SettingProps {
  icon: "pin" | "mute";
  label: string;
  on: boolean;
  onChange: (on: boolean) => void;
}

/** Something that is on or off. */
export function Setting({ icon, label, on, onChange }: SettingProps) {
  return (
    <button
      className="button-icon"
      data-testid={icon}
      aria-label={label}
      title={on ? `No longer ${label.toLowerCase()}` : label}
      aria-pressed={on}
      onClick={() => onChange(!on)}
    >
      <Icon name={icon} />
    </button>
  );
}
