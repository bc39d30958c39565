import { useState } from "react";
import { ChatView } from "./components/ChatView";
import { FailedToOpen } from "./components/FailedToOpen";
import { SignInForm } from "./components/SignInForm";
import { type SignIn, currentSignIn, forgetSignIn, keepSignIn } from "./session";
import { ChatProvider, useOpenChat } from "./sync";

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
          <ChatView signIn={signIn} onSignOut={onSignOut} />
        </ChatProvider>
      );
  }
}
