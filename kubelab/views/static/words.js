// @ts-check
/**
 * One plain sentence for everything that is drawn.
 *
 * Invariant: pure functions of an item; the same words in the picture, in the panel and to a screen reader.
 *
 * @typedef {Record<string, any>} Item
 */
import { ago, plural } from "./dom.js";

/** @type {Record<string, [string, string, string]>} part -> title, what it does, what stops when it stops */
export const PARTS = {
  kubectl: ["kubectl", "You: kubectl, this notebook and every other client talk to the API server, and to nothing else.", ""],
  apiserver: ["API server", "The only door: it checks, stores and announces every change.", "nobody can read or change anything; what runs goes on"],
  etcd: ["etcd", "Remembers everything: each write is one more revision.", "the API server has no memory and answers no one"],
  controllers: ["controllers", "Loops that compare what is with what was asked for, and ask for what closes the gap.",
    "nobody creates, replaces or removes pods"],
  scheduler: ["scheduler", "Picks a node for every pod that has none.", "new pods wait without a node"],
  proxy: ["proxy", "Forwards a Service's address to the ready pods behind it.", "Services do not answer"],
  dns: ["dns", "Turns a Service's name into its address.", "names are not found; addresses still work"],
};

/** @param {Item} item @param {number} now Unix seconds @returns {{who: string, says: string}} */
export function explain(item, now) {
  const where = item.ns && item.ns !== "default" ? ` (${item.ns})` : "";
  if (item.t === "pod") return { who: `Pod ${item.name}${where}`, says: explainPod(item) };
  if (item.t === "node") return { who: `Node ${item.name}`, says: explainNode(item, now) };
  if (item.t === "svc") return { who: `Service ${item.name}${where}`, says: explainService(item) };
  if (item.t === "part") {
    const [title, does, loss] = PARTS[item.name] ?? [item.title ?? item.name, "A part of this cluster.", "what it does is not done"];
    const state = item.state === "stopped" ? ` It is stopped: ${loss}.` : item.state === "restarting" ? " It died and is being restarted." : "";
    return { who: title, says: does + state + (item.error ? ` Last error: ${item.error}` : "") };
  }
  return { who: "", says: "" };
}

/** @param {Item} pod */
function explainPod(pod) {
  const ready = pod.containers.filter((/** @type {string} */ c) => c === "ready").length;
  const times = pod.restarts ? `, restarted ${plural(pod.restarts, "time")}` : "";
  const why = [pod.reason, pod.message].filter(Boolean).join(": ");
  const gone = pod.gone ? "is being stopped; until now it " : "";
  if (pod.phase === "ready") return `${gone}${gone ? "ran" : "runs"} on ${pod.node}, ready: ${ready} of ${plural(pod.containers.length, "container")}${times}.`;
  if (pod.phase === "unready") return `${gone}runs on ${pod.node} but is not ready (${ready} of ${pod.containers.length}${times}): Services send it no traffic.`;
  if (pod.phase === "failed") return `${gone}fails on ${pod.node || "no node"}${times}. ${why}`;
  if (pod.phase === "succeeded") return `${gone}has done its work on ${pod.node} and ended.`;
  return pod.node ? `${gone}is being created on ${pod.node}. ${why}` : `${gone}waits for a node. ${why}`;
}

/** @param {Item} node @param {number} now */
function explainNode(node, now) {
  if (!node.ready) {
    const since = node.lease || node.since;
    return `${since ? `has not been heard of for ${ago(now - since)}` : "has not reported yet"}. ${node.message} When it stays away, its pods are replaced elsewhere.`;
  }
  const cordon = node.cordoned ? " It is cordoned: no new pods are placed on it." : "";
  const kubelet = node.kubelet === "stopped" ? " Its kubelet is stopped: it will be missed soon." : "";
  return `is ready. Its pods ask for ${node.cpu_text} CPUs and ${node.mem_text} of memory.${cordon}${kubelet}`;
}

/** @param {Item} svc */
function explainService(svc) {
  const picks = Object.entries(svc.selector).map(([k, v]) => `${k}=${v}`).join(", ");
  if (!picks && svc.pods.length) return `leads to ${svc.pods.length === 1 ? "an address that is" : "addresses that are"} written down for it, not to pods.`;
  const at = svc.ip && svc.ip !== "None" ? ` (${svc.ip}:${svc.ports.join(", ")})` : "";
  if (svc.pods.length) return `${at} sends traffic to ${plural(svc.pods.length, "ready pod")}${picks ? ` labelled ${picks}` : ""}.`.trim();
  if (svc.waiting.length) return `${at} has nobody to send traffic to yet: ${plural(svc.waiting.length, "pod")} labelled ${picks}, none ready.`.trim();
  return `${at} has nobody to send traffic to: ${picks ? `no pod is labelled ${picks}.` : "it selects no pods."}`.trim();
}
