// tutti-sync/worker is tutti-sync, to the compiler too.
import init, { SyncClient, SyncError, type Options } from "tutti-sync";
import { statusStore } from "tutti-sync/stores";
import start, { SyncClient as ClientInWorker, SyncError as ErrorInWorker } from "tutti-sync/worker";
import * as inWorker from "tutti-sync/worker";
import { useOpenClient } from "tutti-sync/react";
import { holds, type Equal } from "./equal.js";

holds<Equal<typeof SyncClient, typeof ClientInWorker>>();
holds<Equal<typeof SyncError, typeof ErrorInWorker>>();
holds<Equal<typeof init, typeof start>>();

export const open = async (options: Options) => statusStore(await ClientInWorker.open(options));
export const opened = (options: Options) => useOpenClient<{ text: string }>(options, inWorker);
