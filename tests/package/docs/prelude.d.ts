// What the examples of the guide have at hand.
import type { IncomingMessage } from "node:http";
import type { Message, Options, SyncClient } from "tutti-sync";

declare global {
  const client: SyncClient;
  const options: Options;
  const id: string;
  const button: HTMLButtonElement;
  function show(message: Message): void;
  function render(...values: unknown[]): void;
  function readAgain(): Promise<void>;
  function signedInAs(request: IncomingMessage): string | null;
}
