# One subscription as a Cloud Run worker pool, or as a job that is started on a schedule.

locals {
  # SHUTDOWN_TIMEOUT is not among these: kafka-sidecar knows by itself that Cloud Run kills after 10 s.
  platform = {
    END_AT = try(var.schedule.end_at, null)
  }

  limits  = { cpu = var.cpu, memory = var.memory }
  account = var.service_account_email != null ? var.service_account_email : google_service_account.this[0].email
}

resource "google_cloud_run_v2_worker_pool" "this" {
  count = var.schedule == null ? 1 : 0

  name                = var.name
  project             = var.project_id
  location            = var.location
  labels              = var.labels
  deletion_protection = var.deletion_protection

  scaling {
    manual_instance_count = var.instances
  }

  template {
    service_account = local.account
    labels          = var.labels

    vpc_access {
      egress = "PRIVATE_RANGES_ONLY"
      network_interfaces {
        network    = var.network.network
        subnetwork = var.network.subnetwork
        tags       = var.network.tags
      }
    }

    containers {
      name  = "kafka-sidecar"
      image = var.image

      resources {
        limits = local.limits
      }

      dynamic "env" {
        for_each = local.environment
        content {
          name  = env.key
          value = env.value
        }
      }

      dynamic "env" {
        for_each = var.secrets
        content {
          name = env.key
          value_source {
            secret_key_ref {
              secret  = env.value.secret
              version = env.value.version
            }
          }
        }
      }

      # A failed liveness probe is SIGKILL, without a drain: /live is the process itself, never broker or handler.
      startup_probe {
        period_seconds    = 5
        failure_threshold = 24
        http_get {
          path = "/startup"
          port = 9464
        }
      }

      liveness_probe {
        period_seconds    = 10
        timeout_seconds   = 5
        failure_threshold = 3
        http_get {
          path = "/live"
          port = 9464
        }
      }
    }
  }

  lifecycle {
    precondition {
      condition     = length(setintersection(keys(var.env), ["ADMIN_ADDR", "END_AT"])) == 0
      error_message = "env must set neither ADMIN_ADDR, which the probes ask, nor END_AT, for which there is schedule."
    }
  }

  depends_on = [google_secret_manager_secret_iam_member.this]
}

check "image_is_pinned" {
  assert {
    condition     = strcontains(var.image, "@sha256:")
    error_message = "image is not pinned by digest: a tag that moves makes instances differ."
  }
}
