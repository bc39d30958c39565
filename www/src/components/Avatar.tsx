interface AvatarProps {
  name: string;
  shape?: "small" | "square" | undefined;
  /** What sits on its edge. */
  children?: React.ReactNode;
}

/** The first letter of a name, always in the same colour for the same name; groups are square. */
export function Avatar({ name, shape, children }: AvatarProps) {
  const style = { "--hue": hueOf(name) } as React.CSSProperties;
  return (
    <span className={shape === undefined ? "avatar" : `avatar avatar-${shape}`} style={style}>
      <span aria-hidden="true">{[...name][0]?.toUpperCase()}</span>
      {children}
    </span>
  );
}

function hueOf(name: string): number {
  let hash = 0;
  for (const character of name) hash = (hash * 31 + character.codePointAt(0)!) % 3600;
  return (hash * 137) % 360;
}
