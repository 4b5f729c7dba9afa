// The page as data: elements with attributes and children. Written as HTML for whoever opens it, and as JSON for its own
// script, which brings what is shown up to date; what is text in here can become markup by neither.

/** A piece of a page: text, or an element. */
export type PageNode = string | PageElement;

/** An element: its tag, its attributes, what is inside. */
export type PageElement = [
  tag: string,
  attributes: Readonly<Record<string, string>>,
  ...children: PageNode[],
];

/** What an element is made of: numbers become text, and what is missing is left out. */
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

/** As browsers make them of HTML: there is no empty text, and no two texts stand side by side. */
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

/** Arrays are lists of contents, unless they are elements. */
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

/** Writes a piece as HTML. */
export function toHtml(node: PageNode): string {
  if (typeof node === "string") return escape(node);
  const [tag, attributes, ...children] = node;
  const written = Object.entries(attributes).map(([name, value]) => ` ${name}="${escape(value)}"`);
  return `<${tag}${written.join("")}>${children.map(toHtml).join("")}</${tag}>`;
}

function escape(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
