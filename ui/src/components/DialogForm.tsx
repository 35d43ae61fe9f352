import { type ReactNode, type SubmitEvent } from "react";

import { useSilent } from "../api/silence";

/**
 * The form of a dialog. React passes a submit on to the parents of the component, also through a portal: without the stop, a dialog
 * that a form opens would submit that form as well.
 * While the gateway is silent nothing is submitted: its button is disabled, and Enter does no more than the button.
 */
export function DialogForm({ onSubmit, noValidate, children }: { onSubmit: () => void; noValidate?: boolean; children: ReactNode }) {
  const silent = useSilent();
  const submit = (event: SubmitEvent<HTMLFormElement>) => {
    event.preventDefault();
    event.stopPropagation();
    if (!silent) onSubmit();
  };
  return <form onSubmit={submit} noValidate={noValidate}>{children}</form>;
}
