import { useDevices, useSession, useStore } from "tutti-sync/react";
import { ARTICLE } from "../article";
import { PLAYER, type Player } from "../player";
import { countDevices } from "../devices";
import { hrefOf } from "../route";
import { useReport, useStatus } from "../sync";
import { clockOf } from "../text";
import { DEVICES } from "./DevicesView";
import { Icon } from "./Icons";
import { usePosition } from "./PlayerView";

/** What was begun, here or elsewhere, to go on with; and where it can be gone on with. */
export function Shelf({ selected, player, device }: { selected: string | null; player: Player; device: string }) {
  return (
    <nav className="shelf" aria-label="Reading, music and devices">
      <Reading selected={selected === ARTICLE.key} device={device} />
      <Listening selected={selected === PLAYER} player={player} device={device} />
      <AllDevices selected={selected === DEVICES} />
    </nav>
  );
}

function Reading({ selected, device }: { selected: boolean; device: string }) {
  const { session, error } = useSession(ARTICLE.key);
  useReport(error);
  const { progress, device: where } = session?.fields ?? {};
  const read = typeof progress === "number" ? progress : 0;
  return (
    <a className="shelf-item" data-testid="shelf-article" href={hrefOf(ARTICLE.key)} aria-current={selected ? "page" : undefined}>
      <span className="shelf-icon">
        <Icon name="book" />
      </span>
      <span className="shelf-title">{ARTICLE.title}</span>
      <span className="shelf-state">{read === 0 ? "Not begun" : `${Math.round(read * 100)} %${on(where, device)}`}</span>
      {read > 0 && <span className="shelf-progress" style={{ "--part": read } as React.CSSProperties} />}
    </a>
  );
}

function Listening({ selected, player, device }: { selected: boolean; player: Player; device: string }) {
  const { track, playing, device: where } = useStore(player.state);
  const position = usePosition(player);
  const state = playing ? `${clockOf(position)}, playing` : position > 0 ? clockOf(position) : "Not begun";
  return (
    <a className="shelf-item" data-testid="shelf-player" href={hrefOf(PLAYER)} aria-current={selected ? "page" : undefined}>
      <span className="shelf-icon" data-playing={playing}>
        <Icon name="note" />
      </span>
      <span className="shelf-title">{track.title}</span>
      <span className="shelf-state">{state + (where === null || state === "Not begun" ? "" : on(where, device))}</span>
    </a>
  );
}

function AllDevices({ selected }: { selected: boolean }) {
  const { devices } = useDevices();
  const connected = useStatus().connection === "online";
  return (
    <a className="shelf-item" data-testid="shelf-devices" href={hrefOf(DEVICES)} aria-current={selected ? "page" : undefined}>
      <span className="shelf-icon">
        <Icon name="devices" />
      </span>
      <span className="shelf-title">Devices</span>
      <span className="shelf-state">{devices === null ? "Where you are signed in" : countDevices(devices, connected)}</span>
    </a>
  );
}

function on(where: unknown, device: string): string {
  return typeof where === "string" && where !== device ? ` on ${where}` : "";
}
