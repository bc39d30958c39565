/** Records the tasks of a page's main thread; `stop` resolves with how long each took, in milliseconds. */
export async function traceTasks(page) {
  const session = await page.context().newCDPSession(page);
  const events = [];
  session.on("Tracing.dataCollected", ({ value }) => events.push(...value));
  await session.send("Tracing.start", {
    transferMode: "ReportEvents",
    traceConfig: { includedCategories: ["toplevel"] },
  });
  return {
    async stop() {
      const complete = new Promise((done) => session.once("Tracing.tracingComplete", done));
      await session.send("Tracing.end");
      await complete;
      await session.detach();
      const thread = ({ pid, tid }) => `${pid}/${tid}`;
      const isMain = ({ name, args }) => name === "thread_name" && args.name === "CrRendererMain";
      const mainThreads = new Set(events.filter(isMain).map(thread));
      return events
        .filter((event) => event.name.endsWith("RunTask") && event.ph === "X" && mainThreads.has(thread(event)))
        .map(({ dur = 0, tdur = 0 }) => ({ wall: dur / 1000, cpu: tdur / 1000 }));
    },
  };
}
