// Bodies of requests are counted on their way to an upstream: here, so that no chunk is copied into the
// memory of the wasm.

/// What comes of `body`, up to `max` bytes (a BigInt). With one more it breaks off, `ends` gets another element, and
/// the first one, if it is an AbortController, is aborted: of a body that only fails the runtime makes one that
/// is complete. Nothing is read that the upstream does not take.
export function limited(body, max, ends) {
  const reader = body.getReader();
  let room = Number(max);

  const pull = async (controller) => {
    const { done, value } = await reader.read();
    if (done) return controller.close();
    room -= value.byteLength;
    if (room >= 0) return controller.enqueue(value);
    ends.push(true);
    ends[0]?.abort();
    controller.error(new Error("The body of the request is longer than it may be"));
    await reader.cancel().catch(() => {});
  };
  const cancel = (reason) => reader.cancel(reason);
  return new ReadableStream({ pull, cancel }, { highWaterMark: 0 });
}
