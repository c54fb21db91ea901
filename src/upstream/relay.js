// Streams of events are watched on their way to the client: here, so that no chunk is copied into the
// memory of the wasm.

const STALLED = Symbol("stalled");

/// A body that begins with the chunks that were peeked and goes on with what `reader` brings. Where that
/// breaks off, or pauses for more than `idle` ms, `broken` or `stalled` is said in its place and the body
/// ends as if whole; without such a text it breaks off, too. `told` are the lines for the log of these two.
/// Nothing is read that the client does not
/// take, and nothing any more once it is gone.
export function watched(reader, peeked, idle, broken, stalled, told) {
  let isGone = false;

  const next = async () => {
    let timer;
    const pause = new Promise((resolve) => {
      timer = setTimeout(resolve, idle, STALLED);
    });
    try {
      return await Promise.race([reader.read(), pause]);
    } finally {
      clearTimeout(timer);
    }
  };
  const end = (controller, farewell, line, error) => {
    console.warn(line);
    if (farewell === undefined) return controller.error(error);
    controller.enqueue(new TextEncoder().encode(farewell));
    controller.close();
  };
  const pull = async (controller) => {
    if (peeked.length > 0) return controller.enqueue(peeked.shift());
    try {
      const read = await next();
      if (isGone) return;
      if (read === STALLED) {
        discard(reader);
        end(controller, stalled, told[1], new Error("The upstream paused for too long"));
      } else if (read.done) {
        controller.close();
      } else {
        controller.enqueue(read.value);
      }
    } catch (error) {
      if (!isGone) end(controller, broken, told[0], error);
    }
  };
  const cancel = (reason) => {
    isGone = true;
    return reader.cancel(reason);
  };
  return new ReadableStream({ pull, cancel }, { highWaterMark: 0 });
}

/// Ends a body that nobody reads, so that its connection does not wait for somebody who does.
export function discard(body) {
  body.cancel().catch(() => {});
}
