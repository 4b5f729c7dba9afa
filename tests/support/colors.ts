// How well one color can be distinguished from another, as WCAG 2.1 counts it. For tests of pages.
// https://www.w3.org/TR/WCAG21/#dfn-contrast-ratio

function channels(color: string): number[] {
  return color.match(/[\d.]+/g)!.slice(0, 3).map((channel) => {
    const part = Number(channel) / 255;
    return part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
}

/** The relative luminance of a color as browsers tell it, 0 to 1. */
export function brightness(color: string): number {
  const [red = 0, green = 0, blue = 0] = channels(color);
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

/** The contrast of two colors, 1 to 21. */
export function contrast(one: string, other: string): number {
  const [dark = 0, light = 0] = [brightness(one), brightness(other)].sort((a, b) => a - b);
  return (light + 0.05) / (dark + 0.05);
}
