// The page as data: elements with attributes and children. Written as HTML for browsers, and as JSON for the page's
// script, which updates it. Text never becomes markup in either form.

/** A node of the page: text, or an element. */
export type PageNode = string | PageElement;

/** An element: its tag, its attributes, its children. */
export type PageElement = [
  tag: string,
  attributes: Readonly<Record<string, string>>,
  ...children: PageNode[],
];

/** The content of an element: numbers become text, and undefined is left out. */
export type Content = PageNode | number | undefined | readonly Content[];

/** Makes an element. */
export function element(
  tag: string,
  attributes: Readonly<Record<string, string | number | undefined>>,
  ...contents: Content[]
): PageElement {
  const given = Object.entries(attributes).filter(([, value]) => value !== undefined);
  return [
    tag,
    Object.fromEntries(given.map(([name, value]) => [name, String(value)])),
    ...children(contents),
  ];
}

/** Normalizes children as browsers do: no empty text, and no adjacent texts. */
function children(contents: readonly Content[]): PageNode[] {
  const nodes: PageNode[] = [];
  for (const content of flat(contents)) {
    if (content === "") continue;
    const last = nodes.at(-1);
    if (typeof content === "string" && typeof last === "string") nodes[nodes.length - 1] = last + content;
    else nodes.push(content);
  }
  return nodes;
}

/** Whether an array is a list of contents; elements are arrays, too. */
function* flat(contents: readonly Content[]): Iterable<PageNode> {
  for (const content of contents) {
    if (content === undefined) continue;
    if (typeof content === "number") yield String(content);
    else if (typeof content === "string" || isElement(content)) yield content;
    else yield* flat(content);
  }
}

function isElement(content: readonly unknown[]): content is PageElement {
  const [tag, attributes] = content;
  return typeof tag === "string" && typeof attributes === "object" && !Array.isArray(attributes);
}

/** Writes a node as HTML. */
export function toHtml(node: PageNode): string {
  if (typeof node === "string") return escape(node);
  const [tag, attributes, ...children] = node;
  const written = Object.entries(attributes).map(([name, value]) => ` ${name}="${escape(value)}"`);
  return `<${tag}${written.join("")}>${children.map(toHtml).join("")}</${tag}>`;
}

function escape(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
