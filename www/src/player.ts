import type { Json } from "tutti-sync";
import type { OneSession } from "tutti-sync/react";
import { sessionStore } from "tutti-sync/stores";
import { Cell } from "./cell";
import { type Track, TRACKS, lengthOf, recordingOf } from "./music";
import type { Chat } from "./sync";

/** Under which key the devices share what is played. */
export const PLAYER = "player";
/** How far apart two positions are when somebody has moved, in seconds; less is the way that news took. */
const MOVED = 3;
/** For how long others' music is taken to go on without news of it, in seconds. */
const PRESUMED = 5;
/** How often the position is shared while it plays, in milliseconds. */
const PACE_MS = 1_000;

export interface Playing {
  readonly track: Track;
  readonly volume: number;
  readonly shuffle: boolean;
  readonly playing: boolean;
  /** Whether it is this tab that sounds. */
  readonly here: boolean;
  /** What the device is called on which it played last. */
  readonly device: string | null;
}

/**
 * One player on all devices: it sounds in one place, and can be seen, steered and taken over from every other. What is
 * shared are a track, a position, a volume and an order; each device makes the music itself.
 */
export class Player {
  readonly state: Cell<Playing>;
  readonly #chat: Chat;
  readonly #device: string;
  readonly #audio = new Audio();
  #loaded: string | null = null;
  #recording: string | null = null;
  /** Where it was, and when that was heard, by this tab's clock. */
  #heard = { position: 0, at: 0 };
  #sharedAt = 0;
  /** Something came from elsewhere while something was on its way from here. */
  #missed = false;

  constructor(chat: Chat, device: string) {
    this.#chat = chat;
    this.#device = device;
    const track = TRACKS[0]!;
    this.state = new Cell<Playing>({ track, volume: 0.7, shuffle: false, playing: false, here: false, device: null });
    this.#audio.ontimeupdate = () => this.#shareNowAndThen();
    this.#audio.onended = () => this.skip(1);
  }

  /** Keeps in step with the other devices until the returned function is called. */
  readonly start = (): (() => void) => {
    const off = sessionStore(this.#chat.client, PLAYER).subscribe((doing) => this.#hear(doing));
    const leave = () => this.state.value.here && this.pause();
    addEventListener("pagehide", leave);
    return () => {
      leave();
      off();
      removeEventListener("pagehide", leave);
    };
  };

  /** In seconds, as far as it is known here. */
  get position(): number {
    const { here, playing, track } = this.state.value;
    if (here) return this.#audio.currentTime;
    const since = playing ? Math.min(PRESUMED, (performance.now() - this.#heard.at) / 1000) : 0;
    return Math.min(this.#heard.position + since, lengthOf(track));
  }

  /** Plays on here, from wherever it was. */
  play(): void {
    const { track } = this.state.value;
    const position = this.position;
    this.#set({ playing: true, here: true, device: this.#device });
    this.#sound(position);
    this.#chat.doNow(PLAYER, { track: track.id, position, playing: true, tab: this.#chat.client.tabId, device: this.#device });
  }

  pause(): void {
    const position = this.position;
    this.#silence(position);
    this.#set({ playing: false });
    this.#chat.doNow(PLAYER, { playing: false, position });
  }

  seek(position: number): void {
    this.#move(position);
    this.#chat.do(PLAYER, { position });
  }

  setVolume(volume: number): void {
    this.#set({ volume });
    this.#chat.do(PLAYER, { volume });
  }

  setShuffle(shuffle: boolean): void {
    this.#set({ shuffle });
    this.#chat.doNow(PLAYER, { shuffle });
  }

  skip(by: 1 | -1): void {
    const { track, shuffle } = this.state.value;
    const others = TRACKS.filter(({ id }) => id !== track.id);
    const index = TRACKS.findIndex(({ id }) => id === track.id);
    const next = shuffle
      ? others[Math.floor(Math.random() * others.length)]!
      : TRACKS[(index + by + TRACKS.length) % TRACKS.length]!;
    this.choose(next);
  }

  choose(track: Track): void {
    this.#set({ track });
    this.#move(0);
    this.#chat.doNow(PLAYER, { track: track.id, position: 0 });
  }

  /** Follows what came from elsewhere. */
  #hear({ session, origin }: OneSession): void {
    if (session === null || (origin === "local" && !this.#missed)) return;
    this.#missed = this.#chat.isDoing(PLAYER);
    if (this.#missed) return;
    const { fields } = session;
    const { track, volume, shuffle, here } = this.state.value;
    const position = number(fields["position"]) ?? 0;
    const playing = fields["playing"] === true;
    const heard = TRACKS.find(({ id }) => id === fields["track"]) ?? track;
    const stillHere = here && playing && fields["tab"] === this.#chat.client.tabId;
    if (here && !stillHere) this.#silence(position);
    this.#set({
      track: heard,
      volume: number(fields["volume"]) ?? volume,
      shuffle: typeof fields["shuffle"] === "boolean" ? fields["shuffle"] : shuffle,
      playing,
      device: typeof fields["device"] === "string" ? fields["device"] : null,
    });
    if (!stillHere || heard !== track || Math.abs(position - this.#audio.currentTime) > MOVED) this.#move(position);
  }

  #move(position: number): void {
    this.#heard = { position, at: performance.now() };
    if (this.state.value.here) this.#sound(position);
  }

  #sound(position: number): void {
    const { track, volume } = this.state.value;
    if (this.#loaded !== track.id) {
      if (this.#recording !== null) URL.revokeObjectURL(this.#recording);
      this.#recording = URL.createObjectURL(recordingOf(track));
      this.#audio.src = this.#recording;
      this.#loaded = track.id;
    }
    this.#audio.volume = volume;
    this.#audio.currentTime = position;
    // Whoever plays at once somewhere else, or leaves, interrupts this: that is no error.
    this.#audio.play().catch((error: unknown) => {
      if (!(error instanceof DOMException && error.name === "AbortError")) this.#chat.report(error);
    });
  }

  #silence(position: number): void {
    this.#audio.pause();
    this.#heard = { position, at: performance.now() };
    this.#set({ here: false });
  }

  #shareNowAndThen(): void {
    const now = performance.now();
    if (!this.state.value.here || now - this.#sharedAt < PACE_MS) return;
    this.#sharedAt = now;
    this.#chat.do(PLAYER, { position: Math.round(this.#audio.currentTime * 100) / 100 });
  }

  #set(changed: Partial<Playing>): void {
    this.state.set({ ...this.state.value, ...changed });
    this.#audio.volume = this.state.value.volume;
  }
}

function number(value: Json | undefined): number | null {
  return typeof value === "number" ? value : null;
}
