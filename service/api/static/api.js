/** The service: what can be asked, and answers, whole or as they come. */

import { brokenOff, refusal, ServiceError } from "./errors.js";
import { events } from "./events.js";

/** @param {string} key */
const headers = (key) => (key ? { authorization: `Bearer ${key}` } : {});

/** @param {string} key */
export async function catalogue(key) {
  const response = await fetch("tasks", { headers: headers(key), cache: "no-store" });
  if (!response.ok) throw await refusal(response);
  return response.json();
}

/**
 * @param {object} request a body of POST /analyze
 * @param {string} key
 * @param {AbortSignal} signal
 */
async function send(request, key, signal) {
  const response = await fetch("analyze", {
    method: "POST",
    headers: { "content-type": "application/json", ...headers(key) },
    body: JSON.stringify(request),
    cache: "no-store",
    signal,
  });
  if (!response.ok) throw await refusal(response);
  return response;
}

/** The whole answer; arguments as `send`. */
export async function analyse(request, key, signal) {
  return (await send(request, key, signal)).json();
}

/** The answer as events, the last of which is `result`; arguments as `send`. */
export async function* stream(request, key, signal) {
  const response = await send({ ...request, stream: true }, key, signal);
  let whole = false;
  try {
    for await (const one of events(response.body)) {
      if (one.event === "error") {
        throw new ServiceError(one.data.error.message, {
          code: one.data.error.code,
          requestId: one.data.error.request_id ?? "",
        });
      }
      whole = one.event === "result";
      yield one;
    }
  } catch (error) {
    if (error instanceof TypeError || error instanceof SyntaxError) throw brokenOff();
    throw error;
  }
  if (!whole) throw brokenOff();
}
