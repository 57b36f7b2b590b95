// The excerpt below a search result: the words around the hit, out of the text of the page. Sphinx takes the whole main
// part, with the title bar and the list of contents, and its start where the search's word stem is not in the text.
document.addEventListener("DOMContentLoaded", () => {
  const before = 100, length = 260;

  Search.htmlToText = (html, anchor) => {
    const page = new DOMParser().parseFromString(html, "text/html");
    const article = page.querySelector("article.bd-article") || page.querySelector('[role="main"]');
    if (!article) return "";
    for (const unwanted of article.querySelectorAll(".headerlink, script, style, nav, details, .figure-files, .cell_input")) {
      unwanted.remove();
    }
    const part = anchor ? article.querySelector(anchor) : null;
    return (part || article).textContent.replace(/\s+/g, " ").trim();
  };

  // where the word begins, or the longest beginning of it: a stem such as "degeneraci" is not in the text
  const find = (text, word) => {
    for (let end = word.length; end >= Math.min(4, word.length); end--) {
      const hits = [...text.matchAll(new RegExp(word.slice(0, end).replace(/[^\w]/g, "\\$&"), "g"))];
      if (hits.length) return hits.map((hit) => hit.index);
    }
    return [];
  };

  Search.makeSearchSummary = (html, keywords, anchor) => {
    const text = Search.htmlToText(html, anchor);
    const lower = text.toLowerCase();
    const hits = [...keywords].map((word) => find(lower, word.toLowerCase())).filter((each) => each.length);
    if (!hits.length) return null;
    // the place with the most different words; the first of these
    const words = (start) => hits.filter((each) => each.some((at) => at >= start && at < start + length - before)).length;
    const place = hits.flat().sort((a, b) => words(b) - words(a) || a - b)[0];
    const start = Math.max(0, place - before);
    const excerpt = document.createElement("p");
    excerpt.classList.add("context");
    excerpt.textContent =
      (start ? "… " : "") + text.slice(start, start + length).trim() + (start + length < text.length ? " …" : "");
    return excerpt;
  };
});
