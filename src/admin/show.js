// Files of the page are in the module that `src/index.js` loads when it is asked for.
export const show_file = async (request, env, context) => {
  const { default: Control } = await globalThis.splitwayControl();
  return new Control(context, env).fetch(request);
};
