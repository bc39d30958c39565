// The tables that a run prints: medians, and how many times Tutti's that is.
import { median } from "./support.mjs";

const ms = (value) => (value === 0 ? "0" : value < 10 ? value.toFixed(2) : value < 100 ? value.toFixed(1) : Math.round(value).toLocaleString("en"));
const kilobytes = (value) => Math.round(value / 1000).toLocaleString("en");
const megabytes = (value) => (value / 1e6).toFixed(1);

/** Each table: its heading, and its columns as they are noted, titled and written. */
const TABLES = [
  [
    "Catch-up, ms",
    (sizes) =>
      sizes.flatMap((size) => [
        [`catch-up ${size}`, `${size.toLocaleString("en")} messages`, ms],
        [`longest task ${size}`, "its longest main-thread task (0: none over 50)", ms],
      ]),
  ],
  [
    "Reading, ms",
    () => [
      ["conversation, cold", "conversation, cold", ms],
      ["conversation, first time", "conversation, first time", ms],
      ["conversation, again", "conversation, again", ms],
      ["list, cold", "list, cold", ms],
      ["list, warm", "list, warm", ms],
    ],
  ],
  [
    "Live, ms",
    () => [
      ["received, durable", "received, durable", ms],
      ["sent, durable", "sent, durable", ms],
      ["tab to tab", "tab to tab", ms],
      ["leader closed", "leader closed", ms],
      ["leader crashed", "leader crashed", ms],
    ],
  ],
  [
    "Weight",
    () => [
      ["shipped", "shipped, KB gzip", kilobytes],
      ["on disk", "on disk, MB", megabytes],
      ["memory", "memory, MB", megabytes],
    ],
  ],
];

/** Markdown. */
export function table(figures, candidates, sizes) {
  return TABLES.map(([heading, columns]) => {
    const present = columns(sizes).filter(([column]) => Object.values(figures).some((row) => row[column]));
    const rows = Object.entries(figures).filter(([, row]) => present.some(([column]) => row[column]));
    if (rows.length === 0) return "";
    const cell = (row, [column, , format]) => {
      if (!row[column]) return "";
      const [value, own] = [row, figures.tutti ?? {}].map((row) => row[column] && median(row[column]));
      return own && row !== figures.tutti ? `${format(value)} (${times(value / own)})` : format(value);
    };
    return [
      `| ${heading} | ${present.map(([, title]) => title).join(" | ")} |`,
      `|---|${present.map(() => "---|").join("")}`,
      ...rows.map(([name, row]) => `| ${candidates[name].title} | ${present.map((column) => cell(row, column)).join(" | ")} |`),
      "",
    ].join("\n");
  }).join("\n");
}

function times(ratio) {
  return `${ratio.toPrecision(2)}×`.replace(/^(\d)\.0×$/, "$1.0×");
}
