// Whoever programs against the contract gets on with what is shipped.
import init, * as shipped from "tutti-sync";
import type * as contract from "./contract.js";

const load: typeof contract.default = init;
const open: typeof contract.SyncClient.open = shipped.SyncClient.open;
const client: contract.SyncClient = await shipped.SyncClient.open({} as contract.Options);
const error: contract.SyncError = new shipped.SyncError();
const told = {} as shipped.Events satisfies contract.Events;
void [load, open, client, error, told];

// @ts-expect-error Whoever wants more than is shipped is told.
const more: contract.SyncClient & { teleport(): void } = client;
// @ts-expect-error Nor is another class one of these.
const another: contract.SyncClient = {} as Omit<shipped.SyncClient, "recall">;
void [more, another];
