import { api } from "./client";
import { session } from "./session";

/** End the login here whatever the gateway says: the person wants to be out. */
export async function logOut() {
  await api.POST("/api/auth/logout").catch(() => undefined);
  session.end();
}
