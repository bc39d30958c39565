const DAY_MS = 24 * 60 * 60 * 1000;

const clock = new Intl.DateTimeFormat(undefined, { hour: "numeric", minute: "2-digit" });
const weekday = new Intl.DateTimeFormat(undefined, { weekday: "short" });
const shortDate = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const longDate = new Intl.DateTimeFormat(undefined, { weekday: "long", day: "numeric", month: "long" });
const fullDate = new Intl.DateTimeFormat(undefined, { dateStyle: "long" });

export function timeOfDay(time: number): string {
  return clock.format(time);
}

/** As short as a list allows: the time today, the weekday this week, else the date. */
export function briefly(time: number): string {
  const days = daysAgo(time);
  if (days <= 0) return clock.format(time);
  if (days < 7) return weekday.format(time);
  return shortDate.format(time);
}

/** "14:05" today, "Yesterday, 14:05", "Friday, 21 November, 14:05" */
export function dayAndTime(time: number): string {
  return daysAgo(time) === 0 ? clock.format(time) : `${dayName(time)}, ${clock.format(time)}`;
}

export function dayName(time: number): string {
  const days = daysAgo(time);
  if (days === 0) return "Today";
  if (days === 1) return "Yesterday";
  return (days < 180 ? longDate : fullDate).format(time);
}

export function startOfDay(time: number): number {
  return new Date(time).setHours(0, 0, 0, 0);
}

/** Rounded, because a day on which the clocks change is not 24 hours long. */
function daysAgo(time: number): number {
  return Math.round((startOfDay(Date.now()) - startOfDay(time)) / DAY_MS);
}
