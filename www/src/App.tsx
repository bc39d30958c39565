import { useEffect, useState } from "react";
import { useCell } from "./cell";
import { ChatView } from "./components/ChatView";
import { Ended } from "./components/Ended";
import { FailedToOpen } from "./components/FailedToOpen";
import { SignInForm } from "./components/SignInForm";
import { type SignIn, currentSignIn, forgetSignIn, keepSignIn } from "./session";
import { type Chat, ChatProvider, useOpenChat } from "./sync";

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

function SignedIn({ signIn, onSignOut }: { signIn: SignIn; onSignOut: () => void }) {
  const opening = useOpenChat(signIn);

  switch (opening.state) {
    case "opening":
      return (
        <p className="opening" role="status">
          Opening {signIn.account}’s chat…
        </p>
      );
    case "failed":
      return <FailedToOpen error={opening.error} onSignOut={onSignOut} />;
    case "open":
      return (
        <ChatProvider value={opening.chat}>
          <Open chat={opening.chat} signIn={signIn} onSignOut={onSignOut} />
        </ChatProvider>
      );
  }
}

/** The chat, until there is nothing of the account here any more. */
function Open({ chat, signIn, onSignOut }: { chat: Chat; signIn: SignIn; onSignOut: () => void }) {
  const ending = useCell(chat.ending);
  // A reload must not bring the device back by itself.
  useEffect(() => {
    if (ending !== null) forgetSignIn();
  }, [ending]);

  if (ending !== null) return <Ended ending={ending} account={signIn.account} onSignIn={onSignOut} />;
  return <ChatView signIn={signIn} onSignOut={onSignOut} />;
}
