import { useState } from "react";
import { type SignIn, suggestedSignIn } from "../session";
import { Stave } from "./Stave";

export function SignInForm({ onSignIn }: { onSignIn: (signIn: SignIn) => void }) {
  const [{ account, device }, setSignIn] = useState(suggestedSignIn);

  const submit = (event: React.FormEvent) => {
    event.preventDefault();
    onSignIn({ account: account.trim(), device: device.trim() });
  };

  return (
    <main className="sign-in">
      <form className="sign-in-card" onSubmit={submit}>
        <Stave notes={7} bright={3} />
        <h1>Tutti</h1>
        <p className="sign-in-tagline">One conversation, in step in every tab and on every device.</p>

        <label>
          Account
          <input
            data-testid="sign-in-account"
            value={account}
            onChange={(event) => setSignIn({ account: event.target.value, device })}
            placeholder="alice"
            autoCapitalize="none"
            autoComplete="username"
            spellCheck={false}
            pattern=".*\S.*"
            title="A name that is not blank"
            required
            autoFocus
          />
        </label>
        <label>
          This device
          <input
            data-testid="sign-in-device"
            value={device}
            onChange={(event) => setSignIn({ account, device: event.target.value })}
            pattern=".*\S.*"
            title="A name that is not blank"
            required
          />
        </label>
        <button className="button-primary" data-testid="sign-in-submit">
          Sign in
        </button>
        <p className="hint">A demo: any account name will do, and there is no password. Try two, in two browsers.</p>
      </form>
    </main>
  );
}
