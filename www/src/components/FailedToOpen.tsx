import { explain } from "../errors";

export function FailedToOpen({ error, onSignOut }: { error: unknown; onSignOut: () => void }) {
  const { what, advice } = explain(error);
  return (
    <main className="sign-in">
      <div className="sign-in-card" role="alert">
        <h1>Not open</h1>
        <p>
          {what} {advice}
        </p>
        <button className="button-primary" onClick={() => location.reload()}>
          Reload
        </button>
        <button className="button-quiet" onClick={onSignOut}>
          Sign out
        </button>
      </div>
    </main>
  );
}
