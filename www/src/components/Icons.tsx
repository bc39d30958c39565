/** Drawn on a grid of 16; they take the colour and, at 1em, the size of the text beside them. */
const PATHS = {
  back: "M10 3 5 8l5 5",
  clock: "M8 2.5a5.5 5.5 0 1 0 0 11 5.5 5.5 0 0 0 0-11M8 5v3.2l2 1.3",
  check: "m3 8.5 3.2 3.2L13 4.8",
  alert: "M8 2.5a5.5 5.5 0 1 0 0 11 5.5 5.5 0 0 0 0-11M8 5.2v3.3M8 10.8v.1",
  close: "m4 4 8 8m0-8-8 8",
  down: "M8 3v10m-4.5-4.5L8 13l4.5-4.5",
  devices: "M8.5 11H1.5M3 11V4.5A1 1 0 0 1 4 3.5h7a1 1 0 0 1 1 1M11 7h2.5a1 1 0 0 1 1 1v4.5a1 1 0 0 1-1 1H11a1 1 0 0 1-1-1V8a1 1 0 0 1 1-1",
  plus: "M8 3v10M3 8h10",
  send: "M8 13.5v-11M3.5 7 8 2.5 12.5 7",
} as const;

export function Icon({ name }: { name: keyof typeof PATHS }) {
  return (
    <svg className="icon" viewBox="0 0 16 16" aria-hidden="true">
      <path d={PATHS[name]} />
    </svg>
  );
}
