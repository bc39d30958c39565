import { useEffect, useId, useRef } from "react";

interface DialogProps {
  title: string;
  /** The user wants nothing of it: by a button, by Escape, or beside it. */
  onCancel: () => void;
  /** What happens, and the buttons. */
  children: React.ReactNode;
  testId?: string;
}

/** Something to decide before anything else. It is there as long as it is rendered; then the focus goes back. */
export function Dialog({ title, onCancel, children, testId }: DialogProps) {
  const dialog = useRef<HTMLDialogElement>(null);
  const heading = useId();
  useEffect(() => {
    const shown = dialog.current!;
    const before = document.activeElement;
    shown.showModal();
    return () => {
      shown.close();
      if (before instanceof HTMLElement && before.isConnected) before.focus();
    };
  }, []);

  return (
    <dialog
      ref={dialog}
      className="dialog"
      aria-labelledby={heading}
      data-testid={testId}
      onCancel={(event) => {
        event.preventDefault();
        onCancel();
      }}
      onClick={(event) => event.target === dialog.current && onCancel()}
    >
      <div className="dialog-content">
        <h2 id={heading}>{title}</h2>
        {children}
      </div>
    </dialog>
  );
}
