import { type ReactNode, type SubmitEvent } from "react";

/**
 * The form of a dialog. React passes a submit on to the parents of the component, also through a portal: without the stop, a dialog
 * that a form opens would submit that form as well.
 */
export function DialogForm({ onSubmit, noValidate, children }: { onSubmit: () => void; noValidate?: boolean; children: ReactNode }) {
  const submit = (event: SubmitEvent<HTMLFormElement>) => {
    event.preventDefault();
    event.stopPropagation();
    onSubmit();
  };
  return <form onSubmit={submit} noValidate={noValidate}>{children}</form>;
}
