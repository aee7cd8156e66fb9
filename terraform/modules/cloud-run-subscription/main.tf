# One subscription as a Cloud Run worker pool, or as a job that is started on a schedule.

locals {
  secret_name    = "^(projects/[^/]+/secrets/)?[A-Za-z0-9_-]{1,255}$"
  secret_version = "^(latest|[0-9]+)$"

  # What the containers of an instance call each other by. service:// sinks are called at handler.url.
  calls_loopback = can(regex("^https?://(localhost|127\\.0\\.0\\.1|\\[::1\\])([:/]|$)", coalesce(var.handler.url, var.subscription.sink)))

  # SHUTDOWN_TIMEOUT is not among these: kafka-sidecar knows by itself that Cloud Run kills after 10 s.
  platform = {
    END_AT      = try(var.schedule.end_at, null)
    METRICS_EMF = length(local.own_metrics) > 0 ? "true" : null
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
      # Started when the handler's startup probe has passed.
      depends_on = var.handler_container == null ? null : ["handler"]

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

    dynamic "containers" {
      for_each = var.handler_container[*]
      content {
        name    = "handler"
        image   = containers.value.image
        command = containers.value.command
        args    = containers.value.args

        dynamic "resources" {
          for_each = containers.value.cpu == null && containers.value.memory == null ? [] : [1]
          content {
            limits = { for field, value in { cpu = containers.value.cpu, memory = containers.value.memory } : field => value if value != null }
          }
        }

        dynamic "env" {
          for_each = containers.value.environment
          content {
            name  = env.key
            value = env.value
          }
        }

        dynamic "env" {
          for_each = containers.value.secrets
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

        startup_probe {
          period_seconds    = containers.value.health_check.interval
          timeout_seconds   = containers.value.health_check.timeout
          failure_threshold = containers.value.health_check.retries

          dynamic "http_get" {
            for_each = containers.value.health_check.path[*]
            content {
              path = http_get.value
              port = containers.value.health_check.port
            }
          }

          dynamic "tcp_socket" {
            for_each = containers.value.health_check.path == null ? [containers.value.health_check.port] : []
            content {
              port = tcp_socket.value
            }
          }
        }
      }
    }
  }

  lifecycle {
    precondition {
      condition     = length(setintersection(keys(var.env), ["ADMIN_ADDR", "END_AT"])) == 0
      error_message = "env must set neither ADMIN_ADDR, which the probes ask, nor END_AT, for which there is schedule."
    }
    precondition {
      condition     = !contains(keys(var.env), "SHUTDOWN_TIMEOUT")
      error_message = "env must not set SHUTDOWN_TIMEOUT: Cloud Run kills after ten seconds, and kafka-sidecar keeps to that by itself."
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
