// What the programs of these peers agree on.

import { Redis } from "ioredis";

export const MODEL_URL = process.env.MODEL_URL;
export const QUEUE = "jobs";

export const SHAPES = {
  text: {
    type: "object",
    properties: { text: { type: "string" } },
    required: ["text"],
    additionalProperties: false,
  },
  report: {
    type: "object",
    properties: {
      sections: {
        type: "array",
        items: {
          type: "object",
          properties: { heading: { type: "string" }, body: { type: "string" } },
          required: ["heading", "body"],
          additionalProperties: false,
        },
      },
    },
    required: ["sections"],
    additionalProperties: false,
  },
};

/// A connection to Redis as BullMQ wants it.
export function redis() {
  return new Redis(process.env.REDIS_URL, { maxRetriesPerRequest: null });
}

export function channel(job) {
  return `job:${job}`;
}

export function listening(server) {
  server.listen(0, "127.0.0.1", () => {
    console.log(`listening on http://127.0.0.1:${server.address().port}`);
  });
}
