import { useStore } from "tutti-sync/react";
import { explain } from "../errors";
import { useChat } from "../sync";
import { Icon } from "./Icons";

export function Errors() {
  const chat = useChat();
  const errors = useStore(chat.errors);
  return (
    <div className="errors" role="alert">
      {errors.map((error) => {
        const { what, advice } = explain(error);
        return (
          <div key={what} className="error-card">
            <p>
              <strong>{what}</strong> {advice}
            </p>
            <button className="button-icon" aria-label="Dismiss" onClick={() => chat.dismiss(error)}>
              <Icon name="close" />
            </button>
          </div>
        );
      })}
    </div>
  );
}
