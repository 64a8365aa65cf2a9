// What the page asks of /v1: with the token, one request for each, and 304 where nothing has changed.

import { token, askToken, forgetToken } from "./token.js";

const KEPT = 64;
const known = new Map(); // path → {etag, value}

export class Problem extends Error {
  constructor(status, detail, retryAfter = 0) {
    super(detail);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

export function headersWithToken(more = {}) {
  return token() ? { ...more, Authorization: `Bearer ${token()}` } : more;
}

// A response that is no 401: the token is asked for until one fits.
export async function request(path, options = {}) {
  for (;;) {
    const shown = token();
    let response;
    try {
      response = await fetch(path, { cache: "no-store", credentials: "omit", ...options, headers: headersWithToken(options.headers) });
    } catch (fault) {
      if (fault.name === "AbortError") throw fault;
      throw new Problem(0, options.method ? "AgentOS did not answer: whether the order arrived is not known. Look before you give it again." : "AgentOS does not answer. This page asks again.");
    }
    if (response.status !== 401) return response;
    if (shown === token()) {
      forgetToken();
      await askToken(shown !== null);
    }
  }
}

async function problemOf(response) {
  const problem = await response.json().catch(() => ({}));
  const after = Number(response.headers.get("Retry-After")) || 0;
  return new Problem(response.status, problem.detail || problem.title || `The answer was ${response.status}.`, after);
}

function keep(path, etag, value) {
  known.delete(path);
  if (known.size >= KEPT) known.delete(known.keys().next().value);
  known.set(path, { etag, value });
}

// The object at the path; the very same object while the server says that nothing has changed.
export async function get(path, signal) {
  const before = known.get(path);
  const response = await request(path, { signal, headers: before ? { "If-None-Match": before.etag } : {} });
  if (response.status === 304 && before) return before.value;
  if (!response.ok) throw await problemOf(response);
  const value = await response.json();
  const etag = response.headers.get("ETag");
  if (etag) keep(path, etag, value);
  return value;
}

export async function send(method, path, body, headers = {}) {
  const options = { method, headers };
  if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers = { ...headers, "Content-Type": "application/json" };
  }
  const response = await request(path, options);
  if (!response.ok) throw await problemOf(response);
  return response.json();
}

export function agentUrl(name, ...more) {
  return `/v1/agents/${[name, ...more].map(encodeURIComponent).join("/")}`;
}

export function query(path, values) {
  const text = new URLSearchParams(Object.entries(values).filter(([, value]) => value !== "" && value !== null && value !== undefined)).toString();
  return text ? `${path}?${text}` : path;
}
