import { memo, useEffect, useId, useMemo, useState } from "react";
import { useStore } from "tutti-sync/react";
import { type Track, TRACKS, lengthOf, notesOf } from "../music";
import type { Player } from "../player";
import { clockOf } from "../text";
import { Icon } from "./Icons";

const WIDTH = 720;
const HEIGHT = 200;

/** What is played, wherever it sounds; and a way to have it sound here. */
export function PlayerView({ player }: { player: Player }) {
  const { track, volume, shuffle, playing, here, device } = useStore(player.state);
  const position = usePosition(player);
  const length = useMemo(() => lengthOf(track), [track]);
  const elsewhere = playing && !here;

  return (
    <section className="page" aria-label="Music">
      <header className="conversation-head">
        <a className="button-icon back" href="#" aria-label="Back to all conversations">
          <Icon name="back" />
        </a>
        <span className="shelf-icon">
          <Icon name="note" />
        </span>
        <div className="conversation-names">
          <h2>Music</h2>
          <p data-testid="player-where" data-here={here} role="status">
            {here ? "Playing here" : elsewhere ? `Playing on ${device ?? "another device"}` : "Goes on where you stop, on any device"}
          </p>
        </div>
      </header>
      <div className="player">
        <div className="player-piece">
          <h1 data-testid="player-track" data-value={track.id}>
            {track.title}
          </h1>
          <p>{track.by}</p>
          <div className="score">
            <Score track={track} played={position / length} />
            <input
              type="range"
              aria-label="Position"
              aria-valuetext={`${clockOf(position)} of ${clockOf(length)}`}
              data-testid="player-position"
              min={0}
              max={Math.floor(length)}
              step={1}
              value={Math.min(Math.floor(position), Math.floor(length))}
              onChange={(event) => player.seek(Number(event.target.value))}
            />
          </div>
          <p className="player-times">
            <span>{clockOf(position)}</span>
            <span>{clockOf(length)}</span>
          </p>
        </div>

        <div className="player-controls">
          <button
            className="button-icon"
            data-testid="player-shuffle"
            aria-label="Shuffle"
            title="Shuffle"
            aria-pressed={shuffle}
            onClick={() => player.setShuffle(!shuffle)}
          >
            <Icon name="shuffle" />
          </button>
          <button className="button-icon" aria-label="Previous piece" onClick={() => player.skip(-1)}>
            <Icon name="previous" />
          </button>
          <button
            className="button-play"
            data-testid="player-play"
            data-playing={playing}
            aria-label={playing ? "Pause" : "Play"}
            onClick={() => (playing ? player.pause() : player.play())}
          >
            <Icon name={playing ? "pause" : "play"} />
          </button>
          <button className="button-icon" data-testid="player-next" aria-label="Next piece" onClick={() => player.skip(1)}>
            <Icon name="next" />
          </button>
          <label className="volume" title="Volume">
            <Icon name="volume" />
            <input
              type="range"
              aria-label="Volume"
              data-testid="player-volume"
              min={0}
              max={100}
              value={Math.round(volume * 100)}
              style={{ "--part": volume } as React.CSSProperties}
              onChange={(event) => player.setVolume(Number(event.target.value) / 100)}
            />
          </label>
        </div>
        <div className="player-elsewhere">
          {elsewhere && (
            <button className="button-primary" data-testid="player-here" onClick={() => player.play()}>
              Go on here at {clockOf(position)}
            </button>
          )}
        </div>

        <ol className="tracks">
          {TRACKS.map((each) => (
            <li key={each.id}>
              <button aria-current={each === track ? "true" : undefined} onClick={() => player.choose(each)}>
                <span className="track-title">{each.title}</span>
                <span className="track-by">{each.by}</span>
                <span className="track-length">{clockOf(lengthOf(each))}</span>
              </button>
            </li>
          ))}
        </ol>
      </div>
    </section>
  );
}

/** The piece at a glance, high notes high; what has been played stands out. */
function Score({ track, played }: { track: Track; played: number }) {
  const clip = useId();
  const x = Math.min(1, played) * WIDTH;
  return (
    <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} preserveAspectRatio="none" aria-hidden="true">
      <clipPath id={clip}>
        <rect width={x} height={HEIGHT} />
      </clipPath>
      <Notes track={track} />
      <g className="score-played" clipPath={`url(#${clip})`}>
        <Notes track={track} />
      </g>
      <path className="score-now" d={`M${x} 0V${HEIGHT}`} />
    </svg>
  );
}

const Notes = memo(function Notes({ track }: { track: Track }) {
  const notes = notesOf(track);
  const length = lengthOf(track);
  const pitches = notes.map(({ pitch }) => pitch).filter((pitch) => !Number.isNaN(pitch));
  const [low, high] = [Math.min(...pitches), Math.max(...pitches)];
  return notes.map(({ start, length: duration, pitch, voice }, index) => (
    <rect
      key={index}
      className={`score-note score-voice-${voice % 4}`}
      x={(start / length) * WIDTH}
      y={HEIGHT - 16 - ((pitch - low) / (high - low)) * (HEIGHT - 24)}
      width={Math.max(2, (duration / length) * WIDTH - 1)}
      height={6}
      rx={2}
    />
  ));
});

/** Where it is, several times a second while it plays. */
export function usePosition(player: Player): number {
  const { playing } = useStore(player.state);
  const [, tick] = useState(0);
  useEffect(() => {
    if (!playing) return;
    const timer = setInterval(() => tick((ticks) => ticks + 1), 200);
    return () => clearInterval(timer);
  }, [playing]);
  return player.position;
}
