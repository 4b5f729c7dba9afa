// What has to hold before a version is published. Asked by release_main.ts.

/**
 * Why a tag must not be published; undefined if it may.
 *
 * @param version What deno.json says
 * @param changelog The text of CHANGELOG.md
 */
export function refusalOfTag(tag: string, version: string, changelog: string): string | undefined {
  if (tag !== `v${version}`) {
    return `the tag is ${JSON.stringify(tag)}, but deno.json has version ${version}: expected v${version}`;
  }
  const headings = changelog.split("\n").filter((line) => line.startsWith("## "));
  const named = headings.some((line) => line === `## ${version}` || line.startsWith(`## ${version} `));
  if (!named) return `CHANGELOG.md has no heading "## ${version}"`;
  if (!headings.includes(`## ${version} (unreleased)`)) return undefined;
  return `CHANGELOG.md still says "## ${version} (unreleased)"`;
}
