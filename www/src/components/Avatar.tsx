/** A disc with the first letter of a name, always in the same colour for the same name. */
export function Avatar({ name, small = false }: { name: string; small?: boolean }) {
  const style = { "--hue": hueOf(name) } as React.CSSProperties;
  return (
    <span className={small ? "avatar avatar-small" : "avatar"} style={style} aria-hidden="true">
      {[...name][0]?.toUpperCase()}
    </span>
  );
}

function hueOf(name: string): number {
  let hash = 0;
  for (const character of name) hash = (hash * 31 + character.codePointAt(0)!) % 3600;
  return (hash * 137) % 360;
}
