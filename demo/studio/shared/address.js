// The address that the page was opened at, also behind a proxy's prefix.
export function pageAddress() {
  const page = new URL(window.location.href);
  page.search = page.hash = "";
  if (!page.pathname.endsWith("/")) page.pathname += "/";
  return page;
}
