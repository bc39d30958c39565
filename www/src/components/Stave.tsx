const WIDTH = 372;
const LINES = [20, 32, 44, 56, 68];
const MIDDLE = 44;
const MELODY = [56, 44, 50, 32, 38, 44, 26, 32, 50, 38, 44, 32];
const WIDEST_STEP = 44;

/** Every tab is a note, and they play together; one of them stands out: this one. */
export function Stave({ notes, bright }: { notes: number; bright: number }) {
  const shown = MELODY.slice(0, notes);
  const step = Math.min(WIDEST_STEP, (WIDTH - 60) / shown.length);
  const first = (WIDTH - step * (shown.length - 1)) / 2;
  return (
    <svg className="stave" viewBox={`0 0 ${WIDTH} 92`} aria-hidden="true">
      {LINES.map((y) => (
        <path key={y} className="stave-line" d={`M0 ${y}H${WIDTH}`} />
      ))}
      <path className="stave-line" d={`M${WIDTH - 8} 20V68`} />
      <path className="stave-end" d={`M${WIDTH - 2} 19.5V68.5`} />
      {shown.map((y, index) => {
        const x = first + index * step;
        return (
          <g key={index} className={index === bright ? "note note-bright" : "note"}>
            <path d={stemOf(x, y)} />
            <ellipse rx="7" ry="5.2" transform={`translate(${x} ${y}) rotate(-22)`} />
          </g>
        );
      })}
    </svg>
  );
}

/** Stems point up from below the middle line and down from above it, as engravers draw them. */
function stemOf(x: number, y: number): string {
  return y >= MIDDLE ? `M${x + 6.3} ${y - 2}v-34` : `M${x - 6.3} ${y + 2}v34`;
}
