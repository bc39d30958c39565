// The class of all errors, whichever entry of the package they come from.
export class SyncError extends Error {
  constructor(code, message, retryable = false) {
    super(message);
    this.name = "SyncError";
    this.code = code;
    this.retryable = retryable;
  }
}
