/** Tracks to play, made up as they are needed: a melody, and how many voices enter with it one after another. */
export interface Track {
  readonly id: string;
  readonly title: string;
  readonly by: string;
  readonly voices: number;
  /** Beats from one voice to the next. */
  readonly apart: number;
  readonly rounds: number;
  readonly tempo: number;
  /** Notes as MIDI numbers and beats: "60:1 62:.5 -:1". */
  readonly melody: string;
}

const JACQUES =
  "60:1 62:1 64:1 60:1 60:1 62:1 64:1 60:1 64:1 65:1 67:2 64:1 65:1 67:2 " +
  "67:.5 69:.5 67:.5 65:.5 64:1 60:1 67:.5 69:.5 67:.5 65:.5 64:1 60:1 60:1 55:1 60:2 60:1 55:1 60:2";
const JOY =
  "64:1 64:1 65:1 67:1 67:1 65:1 64:1 62:1 60:1 60:1 62:1 64:1 64:1.5 62:.5 62:2 " +
  "64:1 64:1 65:1 67:1 67:1 65:1 64:1 62:1 60:1 60:1 62:1 64:1 62:1.5 60:.5 60:2 " +
  "62:1 62:1 64:1 60:1 62:1 64:.5 65:.5 64:1 60:1 62:1 64:.5 65:.5 64:1 62:1 60:1 62:1 55:2 " +
  "64:1 64:1 65:1 67:1 67:1 65:1 64:1 62:1 60:1 60:1 62:1 64:1 62:1.5 60:.5 60:2";
const PRELUDE = [
  [60, 64, 67, 72, 76],
  [60, 62, 69, 74, 77],
  [59, 62, 67, 74, 77],
  [60, 64, 67, 72, 76],
  [60, 64, 69, 76, 81],
  [60, 62, 66, 69, 74],
  [59, 62, 67, 74, 79],
  [59, 60, 64, 67, 72],
  [57, 60, 64, 67, 72],
  [50, 57, 62, 66, 72],
  [55, 59, 62, 67, 71],
  [48, 55, 60, 64, 67],
]
  .flatMap(([a, b, c, d, e]) => Array<string>(2).fill([a, b, c, d, e, c, d, e].map((note) => `${note}:.5`).join(" ")))
  .join(" ");
const GROUND =
  "78:2 76:2 74:2 73:2 71:2 69:2 71:2 73:2 74:2 73:2 71:2 69:2 67:2 66:2 67:2 64:2 " +
  "74:1 78:1 81:1 79:1 78:1 74:1 78:1 76:1 74:1 71:1 74:1 81:1 79:1 83:1 81:1 79:1 " +
  "78:1 74:1 76:1 85:1 86:1 90:1 81:1 83:1 79:1 81:1 78:1 74:1 79:1 83:1 81:1 79:1";

export const TRACKS: readonly Track[] = [
  { id: "jacques", title: "Frère Jacques", by: "A round for four voices", voices: 4, apart: 8, rounds: 2, tempo: 108, melody: JACQUES },
  { id: "prelude", title: "Prelude in C", by: "After Johann Sebastian Bach", voices: 1, apart: 0, rounds: 1, tempo: 132, melody: PRELUDE },
  { id: "joy", title: "Ode to Joy", by: "After Ludwig van Beethoven", voices: 1, apart: 0, rounds: 1, tempo: 116, melody: JOY },
  { id: "ground", title: "Canon in D", by: "After Johann Pachelbel", voices: 3, apart: 16, rounds: 1, tempo: 112, melody: GROUND },
];

export interface Note {
  /** In seconds. */
  readonly start: number;
  readonly length: number;
  readonly pitch: number;
  readonly voice: number;
}

export function notesOf({ melody, voices, apart, rounds, tempo }: Track): Note[] {
  const beat = 60 / tempo;
  const notes: Note[] = [];
  for (let voice = 0; voice < voices; voice += 1) {
    let at = voice * apart;
    for (let round = 0; round < rounds; round += 1) {
      for (const [pitch, beats] of melody.split(" ").map((note) => note.split(":").map(Number))) {
        notes.push({ start: at * beat, length: beats! * beat, pitch: pitch!, voice });
        at += beats!;
      }
    }
  }
  return notes;
}

/** How long a track sounds after its last note, in seconds. */
const TAIL = 1.5;

export function lengthOf(track: Track): number {
  return Math.max(...notesOf(track).map(({ start, length }) => start + length)) + TAIL;
}

const RATE = 11_025;
/** Strength of the fundamental and of the partials above it: something between a harp and a music box. */
const PARTIALS = [1, 0.42, 0.16, 0.07];

/** The track as a file that any browser plays. */
export function recordingOf(track: Track): Blob {
  const samples = new Float32Array(Math.ceil(lengthOf(track) * RATE));
  for (const { start, length, pitch } of notesOf(track)) {
    const from = Math.floor(start * RATE);
    const until = Math.min(samples.length, from + Math.floor((length + TAIL) * RATE));
    const step = (2 * Math.PI * 440 * 2 ** ((pitch - 69) / 12)) / RATE;
    for (let at = from; at < until; at += 1) {
      const time = (at - from) / RATE;
      const envelope = Math.min(1, time / 0.008) * Math.exp(-time * 2.6);
      let sample = 0;
      for (const [partial, strength] of PARTIALS.entries()) sample += strength * Math.sin((at - from) * step * (partial + 1));
      samples[at]! += sample * envelope;
    }
  }
  return wav(samples, 0.9 / samples.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0.001));
}

/** Sixteen bits, one channel: http://soundfile.sapp.org/doc/WaveFormat/ */
function wav(samples: Float32Array, gain: number): Blob {
  const view = new DataView(new ArrayBuffer(44 + samples.length * 2));
  const text = (at: number, name: string) => [...name].forEach((letter, index) => view.setUint8(at + index, letter.charCodeAt(0)));
  text(0, "RIFF");
  view.setUint32(4, 36 + samples.length * 2, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true);
  view.setUint16(22, 1, true);
  view.setUint32(24, RATE, true);
  view.setUint32(28, RATE * 2, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  text(36, "data");
  view.setUint32(40, samples.length * 2, true);
  samples.forEach((sample, at) => view.setInt16(44 + at * 2, sample * gain * 32_767, true));
  return new Blob([view], { type: "audio/wav" });
}
