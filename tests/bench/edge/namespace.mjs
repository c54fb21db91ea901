// Stands in for a KV namespace: whatever key it is asked for, it has the document.

export default {
  fetch: (_, { DOCUMENT }) => new Response(DOCUMENT),
};
