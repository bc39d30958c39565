/** Drawn on a grid of 16; they take the colour and, at 1em, the size of the text beside them. */
const PATHS = {
  back: "M10 3 5 8l5 5",
  clock: "M8 2.5a5.5 5.5 0 1 0 0 11 5.5 5.5 0 0 0 0-11M8 5v3.2l2 1.3",
  check: "m3 8.5 3.2 3.2L13 4.8",
  alert: "M8 2.5a5.5 5.5 0 1 0 0 11 5.5 5.5 0 0 0 0-11M8 5.2v3.3M8 10.8v.1",
  close: "m4 4 8 8m0-8-8 8",
  down: "M8 3v10m-4.5-4.5L8 13l4.5-4.5",
  devices: "M8.5 11H1.5M3 11V4.5A1 1 0 0 1 4 3.5h7a1 1 0 0 1 1 1M11 7h2.5a1 1 0 0 1 1 1v4.5a1 1 0 0 1-1 1H11a1 1 0 0 1-1-1V8a1 1 0 0 1 1-1",
  pin: "M5.5 2.5h5M6.2 2.5v4.3L4 9.5h8L9.8 6.8V2.5M8 9.5v4",
  bell: "M3 11.5h10M4.5 11.5V7a3.5 3.5 0 0 1 7 0v4.5M7 13.6h2",
  mute: "M3 11.5h10M4.5 11.5V7a3.5 3.5 0 0 1 7 0v4.5M7 13.6h2M2.5 2.5l11 11",
  more: "M3.5 8h.01M8 8h.01M12.5 8h.01",
  edit: "m3 13 .7-3L10.8 2.9l2.3 2.3L6 12.3 3 13M9.2 4.5l2.3 2.3",
  recall: "M6 3.5 3 6.5l3 3M3 6.5h6.5a3.5 3.5 0 0 1 0 7H7",
  retry: "M13 8a5 5 0 1 1-1.5-3.6M13 2.5v3h-3",
  discard: "M3 4.5h10M6.5 4.5v-2h3v2M4.5 4.5l.6 9h5.8l.6-9",
  book: "M8 4.2C6.5 3.2 4.5 3 2.5 3v9c2 0 4 .2 5.5 1.2C9.5 12.2 11.5 12 13.5 12V3c-2 0-4 .2-5.5 1.2v9",
  note: "M6 12V3.5l6.5-1.5v8.5M6 12a2 1.6 0 1 1-4 0 2 1.6 0 0 1 4 0m6.5-1.5a2 1.6 0 1 1-4 0 2 1.6 0 0 1 4 0",
  play: "M5 3v10l8-5z",
  pause: "M5.5 3v10M10.5 3v10",
  next: "M4 3.5v9l6.5-4.5zM12 3.5v9",
  previous: "M12 3.5v9L5.5 8zM4 3.5v9",
  shuffle: "M2 4.5h2.5l6 7H14m-2-2 2 2-2 2M2 11.5h2.5l2-2.3M9 6.3l1.5-1.8H14m-2-2 2 2-2 2",
  volume: "M2.5 6.5v3H5l3.5 3v-9l-3.5 3zM11 6a3 3 0 0 1 0 4M12.8 4a5.7 5.7 0 0 1 0 8",
  plus: "M8 3v10M3 8h10",
  top: "M3 3h10M8 13.5v-7.500M4.5 9.5 8 6l3.5 3.5",
  search: "M7 2.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9M10.3 10.3 13.5 13.5",
  wave: "M5 9V4a1 1 0 0 1 2 0v3.5-4.7a1 1 0 0 1 2 0v4.7-4a1 1 0 0 1 2 0v5-3a1 1 0 0 1 2 0v4.5a4 4 0 0 1-4 4c-2 0-3.2-.8-4.2-2.3L2.7 9.4a1 1 0 0 1 1.6-1.2L5 9",
  send: "M8 13.5v-11M3.5 7 8 2.5 12.5 7",
} as const;

export function Icon({ name }: { name: keyof typeof PATHS }) {
  return (
    <svg className="icon" viewBox="0 0 16 16" aria-hidden="true">
      <path d={PATHS[name]} />
    </svg>
  );
}
