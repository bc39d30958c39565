const LINES = [20, 32, 44, 56, 68];
const MELODY = [56, 44, 50, 32, 38, 44, 26, 32, 50, 38, 44, 32];
const FIRST = 44;
const STEP = 26;

/** Every tab is a note, and they play together: the filled one leads and holds the connection. */
export function Stave({ notes, leader = 0 }: { notes: number; leader?: number | null }) {
  const shown = MELODY.slice(0, notes);
  return (
    <svg className="stave" viewBox="0 0 372 92" aria-hidden="true">
      {LINES.map((y) => (
        <path key={y} className="stave-line" d={`M0 ${y}H372`} />
      ))}
      {shown.map((y, index) => (
        <g key={index} className={index === leader ? "note note-leader" : "note"}>
          <path d={stemOf(FIRST + index * STEP, y)} />
          <ellipse rx="7" ry="5.2" transform={`translate(${FIRST + index * STEP} ${y}) rotate(-22)`} />
        </g>
      ))}
    </svg>
  );
}

/** Stems point up below the middle line and down above it, as engravers do. */
function stemOf(x: number, y: number): string {
  return y >= 44 ? `M${x + 6.3} ${y - 2}V${y - 36}` : `M${x - 6.3} ${y + 2}V${y + 36}`;
}
