# Run to completion: Cloud Scheduler starts a job, which ends by itself.

resource "google_cloud_run_v2_job" "this" {
  count = var.schedule == null ? 0 : 1

  name                = var.name
  project             = var.project_id
  location            = var.location
  labels              = var.labels
  deletion_protection = var.deletion_protection

  template {
    task_count  = 1
    parallelism = 1
    labels      = var.labels

    template {
      service_account = local.account
      timeout         = var.schedule.timeout
      max_retries     = 0 # the next run goes on where this one stopped

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
      }
    }
  }

  lifecycle {
    precondition {
      condition     = !contains(keys(var.env), "SHUTDOWN_TIMEOUT")
      error_message = "env must not set SHUTDOWN_TIMEOUT: Cloud Run kills after ten seconds, and kafka-sidecar keeps to that by itself."
    }
  }

  depends_on = [google_secret_manager_secret_iam_member.this]
}

# The scheduler starts the job, and nothing else, under an account of its own: that of the instances may not start anything.
resource "google_service_account" "schedule" {
  count = var.schedule == null ? 0 : 1

  project      = var.project_id
  account_id   = "start-${local.account_id}"
  display_name = "starts kafka-sidecar ${var.name}"
}

resource "google_cloud_run_v2_job_iam_member" "schedule" {
  count = var.schedule == null ? 0 : 1

  project  = var.project_id
  location = var.location
  name     = google_cloud_run_v2_job.this[0].name
  role     = "roles/run.invoker"
  member   = "serviceAccount:${google_service_account.schedule[0].email}"
}

resource "google_cloud_scheduler_job" "this" {
  count = var.schedule == null ? 0 : 1

  name      = var.name
  project   = var.project_id
  region    = var.location
  schedule  = var.schedule.expression
  time_zone = var.schedule.timezone
  paused    = !var.schedule.enabled

  http_target {
    http_method = "POST"
    uri         = "https://run.googleapis.com/v2/projects/${var.project_id}/locations/${var.location}/jobs/${var.name}:run"

    oauth_token {
      service_account_email = google_service_account.schedule[0].email
    }
  }
}
