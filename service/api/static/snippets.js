/** The request as somebody would make it in a program. */

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/**
 * @param {object} request a body of POST /analyze
 * @param {string} url of the service
 * @param {boolean} keyed whether it asks for a key
 */
export function curl(request, url, keyed) {
  return [
    `curl -s ${url}/analyze`,
    "-H 'content-type: application/json'",
    ...(keyed ? ['-H "authorization: Bearer $MENTALLLAMA_API_KEY"'] : []),
    `-d ${quoted(JSON.stringify(request))}`,
  ].join(" \\\n  ");
}

/** Arguments as `curl`. */
export function python(request, url, keyed) {
  const fields = Object.entries(request).map(([name, value]) => `        "${name}": ${literal(value)},`);
  return [
    ...(keyed ? ["import os", ""] : []),
    "import httpx",
    "",
    "response = httpx.post(",
    `    ${literal(`${url}/analyze`)},`,
    ...(keyed ? ['    headers={"authorization": f"Bearer {os.environ[\'MENTALLLAMA_API_KEY\']}"},'] : []),
    "    json={",
    ...fields,
    "    },",
    "    timeout=600,",
    ")",
    "response.raise_for_status()",
    'for answer in response.json()["results"][0]["answers"]:',
    '    print(answer["question"], answer["label"], answer["probability"])',
  ].join("\n");
}

// JSON's texts and lists are Python's; the three words differ.
function literal(value) {
  if (typeof value === "boolean") return value ? "True" : "False";
  return value === null ? "None" : JSON.stringify(value);
}
