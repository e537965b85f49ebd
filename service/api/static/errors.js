/** What can go wrong, in words that say what to do. */

/** The service said no, or what came from it is not whole. */
export class ServiceError extends Error {
  /**
   * @param {string} message
   * @param {{status?: number, code?: string, retryAfter?: number, requestId?: string}} facts
   */
  constructor(message, { status = 0, code = "", retryAfter = 0, requestId = "" } = {}) {
    super(message);
    this.status = status;
    this.code = code;
    this.retryAfter = retryAfter;
    this.requestId = requestId;
  }
}

/** @param {Response} response of a status that is no success */
export async function refusal(response) {
  let said = {};
  try {
    said = (await response.json()).error ?? {};
  } catch {
    // Not ours: a proxy's page, say.
  }
  return new ServiceError(
    said.message ?? `The service answered with HTTP ${response.status}, and without a reason.`,
    {
      status: response.status,
      code: said.code ?? "",
      retryAfter: Number(response.headers.get("retry-after")) || 0,
      requestId: said.request_id ?? "",
    },
  );
}

/** @param {unknown} error what was thrown */
export function explained(error) {
  if (error instanceof ServiceError) return error;
  if (error instanceof TypeError) {
    return new ServiceError("The service cannot be reached. See that it runs, then try again.");
  }
  return new ServiceError("Something failed in this page. Reload it, then try again.");
}

export const brokenOff = () =>
  new ServiceError(
    "The connection ended before the answer was complete. What is shown is not all. Try again.",
    { code: "broken_off" },
  );
