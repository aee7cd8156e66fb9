# The service account of the instances: it may read the given secrets and nothing else.

locals {
  # An account's id has 6 to 30 characters; a longer name is cut, and told apart by its hash.
  account_id = length(var.name) <= 24 ? var.name : "${substr(var.name, 0, 15)}-${substr(sha256(var.name), 0, 8)}"
}

resource "google_service_account" "this" {
  count = var.service_account_email == null ? 1 : 0

  project      = var.project_id
  account_id   = "kafka-${local.account_id}"
  display_name = "kafka-sidecar ${var.name}"
}

resource "google_secret_manager_secret_iam_member" "this" {
  for_each = var.service_account_email == null ? toset(concat(values(var.secrets)[*].secret, values(try(var.handler_container.secrets, {}))[*].secret)) : []

  project   = startswith(each.value, "projects/") ? split("/", each.value)[1] : var.project_id
  secret_id = each.value
  role      = "roles/secretmanager.secretAccessor"
  member    = "serviceAccount:${local.account}"
}
