import { useEffect, useState } from "react";
import type { SyncClient } from "tutti-sync";
import { SyncProvider, useOpenClient, useStore } from "tutti-sync/react";
import { ChatView } from "./components/ChatView";
import { Ended } from "./components/Ended";
import { FailedToOpen } from "./components/FailedToOpen";
import { SignInForm } from "./components/SignInForm";
import { type SignIn, currentSignIn, forgetSignIn, keepSignIn } from "./session";
import { Chat, ChatProvider, optionsFor } from "./sync";

export function App() {
  const [signIn, setSignIn] = useState(currentSignIn);

  if (signIn === null) {
    const start = (chosen: SignIn) => {
      keepSignIn(chosen);
      setSignIn(chosen);
    };
    return <SignInForm onSignIn={start} />;
  }

  const signOut = () => {
    forgetSignIn();
    setSignIn(null);
  };
  return <SignedIn signIn={signIn} onSignOut={signOut} />;
}

interface SignedInProps {
  signIn: SignIn;
  onSignOut: () => void;
}

/** Opens the client for as long as somebody is signed in. */
function SignedIn({ signIn, onSignOut }: SignedInProps) {
  const { client, error } = useOpenClient(optionsFor(signIn));

  if (error !== null) return <FailedToOpen error={error} onSignOut={onSignOut} />;
  if (client === null) {
    return (
      <p className="opening" role="status">
        Opening {signIn.account}’s chat…
      </p>
    );
  }
  return (
    <SyncProvider client={client}>
      <Open key={client.tabId} client={client} signIn={signIn} onSignOut={onSignOut} />
    </SyncProvider>
  );
}

/** The chat, until there is nothing of the account here any more. */
function Open({ client, signIn, onSignOut }: SignedInProps & { client: SyncClient }) {
  const [chat] = useState(() => new Chat(client));
  useEffect(() => chat.start(), [chat]);
  const ending = useStore(chat.ending);
  // A reload must not bring the device back by itself.
  useEffect(() => {
    if (ending !== null) forgetSignIn();
  }, [ending]);

  if (ending !== null) return <Ended ending={ending} account={signIn.account} onSignIn={onSignOut} />;
  return (
    <ChatProvider value={chat}>
      <ChatView signIn={signIn} onSignOut={onSignOut} />
    </ChatProvider>
  );
}
