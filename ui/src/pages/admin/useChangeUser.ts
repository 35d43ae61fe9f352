import { useMutation, useQueryClient } from "@tanstack/react-query";

import { api, ask } from "../../api/client";
import type { UserAccount, UserChange } from "../../api/generated";
import { keys } from "../../api/queries";
import { toast } from "../../components/toasts";
import { text } from "../../text/en";

/** Both switches can be flipped back; the logins that a disabling ended stay ended. Pure. */
export function opposite({ is_admin, disabled }: UserChange): UserChange {
  return typeof is_admin === "boolean" ? { is_admin: !is_admin } : { disabled: !disabled };
}

function failed(error: Error) {
  toast(error.message, "error");
}

/** Changes a user's rights or access, with an undo. */
export function useChangeUser(user: UserAccount, onDone: () => void = () => {}) {
  const client = useQueryClient();
  const apply = (change: UserChange) => ask(api.PATCH("/api/users/{user_id}", { params: { path: { user_id: user.id } }, body: change }));
  const refresh = () => client.invalidateQueries({ queryKey: keys.users });
  const undo = (change: UserChange) => apply(opposite(change)).catch(failed).finally(refresh);
  return useMutation({
    mutationFn: apply,
    onSuccess: (_, change) => {
      toast(text.users.changed(user.username), "success", () => undo(change));
      onDone();
    },
    onError: failed,
    onSettled: refresh,
  });
}
